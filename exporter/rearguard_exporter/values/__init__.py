"""Where counted and sampled values are kept until a scrape reads them."""
