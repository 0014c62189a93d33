"""What a person opens: the page in the browser, its jobs, pictures of what the network sees."""
