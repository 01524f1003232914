"""What time alone requires: the heartbeat, taking over from dead nodes, counts, fresh configuration, retention."""
