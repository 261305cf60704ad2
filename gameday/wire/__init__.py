"""The AWS API on the wire: a reverse proxy on loopback that records what a consumer does, and breaks it on cue."""
