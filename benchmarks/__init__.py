"""How fast mien is, and how near that is to what the machine can do; see README.md. Users have `mien bench`."""
