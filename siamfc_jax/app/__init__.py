"""What a person opens: the page and its jobs, the window, pictures of what the network sees."""
