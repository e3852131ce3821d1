"""A simulated device, "simulated": `make test-device` compiles and names it in THROUGHTIME_SIMULATED_DEVICE."""
