"""Pictures from the web: what is asked, who answers, what is fetched, and what of it is clean."""
