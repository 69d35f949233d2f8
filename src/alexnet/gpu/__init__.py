"""What only a GPU can show: its kernels against the plain forms, its speed beside its limits and its peers."""
