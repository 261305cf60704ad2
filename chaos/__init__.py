"""Breaking on cue: the timeline and the injectors, one small file each."""
