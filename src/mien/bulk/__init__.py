"""The same analysis over many inputs: in one process or several, drawn where asked, continued where killed."""
