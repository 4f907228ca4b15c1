"""Networks to look at: torchvision's, the paper's, small ones that come with resviz."""
