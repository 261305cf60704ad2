"""The commands of the command line, a module each; what a command needs it imports when it is called."""
