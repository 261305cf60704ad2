"""From YAML to a scenario that can be run, with what is wrong about it named by file and line."""
