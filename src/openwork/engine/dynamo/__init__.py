"""`torch.compile(model, backend="openwork")`."""
