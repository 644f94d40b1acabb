"""Arrays in, arrays out: estimates with intervals, length control, Bradley-Terry, lotteries."""
