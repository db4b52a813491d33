"""Counts that the workers of one service share: files in one folder, which any worker adds up at a scrape.

**Writing.** Each process has a file of its own, mapped into memory, and is the only one that writes there. A new key
is appended as a record with room for its doubles; from then on an observation stores doubles in place, each of eight
bytes at a multiple of eight, so that no reader finds half of one. Nothing is ever synced: the kernel holds the pages,
also of a process that was killed. Only a crash of the whole machine loses them.

**A reader never sees half a key.** The length in the file's head is stored last, after all bytes of the record. A
writer that dies in between leaves bytes behind that length, which nobody reads. Each record has a checksum, so that
what somebody else cut off or damaged ends the reading there. Readers copy with `pread` and map nothing, so that a
file that is cut off while they read costs them no signal.

**Who lives.** A process holds an exclusive `flock` on its file from before the file has its name until it ends, in
whatever way. A file whose lock can be had shared belongs to nobody any more. Process ids would be used again. A fork
closes its copy of the descriptor, and begins a file of its own.

**Who folds the dead.** Whoever answers a scrape or begins a file, one at a time by the folder's lock; who does not
get that lock leaves it to the other. The steps: (1) write archive and dead files, added up, to a new file, which also
names the files it holds; (2) rename it over the archive; (3) delete the files of the dead. The rename is the only
step that counts. Before it the new file has no meaning; after it, files that the archive names are not read, whether
they are deleted yet or not. File names are never used again. So a crash between two steps loses and doubles nothing.

**What a scrape reads.** The archive first, then every file that it does not name. If the archive is another one
afterwards, the scrape begins again: no file that was folded meanwhile is missed or counted twice. Series
of which no double changed are not added up again, so the archive costs something only after a fold.

**Generations.** Workers of the same service, version, environment and families are a generation, and have an
archive for themselves. The newest generation with a living worker is what every worker shows, so that the old and the
new version of a reload are never added up. An older one is deleted once none of its workers lives.
"""
