"""What a machine of one's own needs: the embedded AWS, the sandbox, the demo."""
