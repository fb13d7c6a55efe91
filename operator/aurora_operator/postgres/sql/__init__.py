"""What is asked of a running server over SQL. Nothing here knows of elections or Kubernetes."""
