"""Software models of DaDianNao machines."""
