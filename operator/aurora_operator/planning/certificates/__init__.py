"""The cluster's certificate authority and certificates: what is kept, renewed and trusted."""
