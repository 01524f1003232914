"""What one would write without Crossdock: the same answer to the same call, on well-known durable parts."""
