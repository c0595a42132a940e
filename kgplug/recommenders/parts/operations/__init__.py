"""Operations of networks: layers, and steps with gradients of their own."""
