"""Networks: build one by its torchvision name, find its weights, freeze and thaw it."""
