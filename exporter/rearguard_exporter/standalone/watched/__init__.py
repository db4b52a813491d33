"""What the stand-alone exporter looks at: a process, HTTP addresses, databases. A scrape reads the last look only."""
