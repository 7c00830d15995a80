"""An example of everything that a plugin can add to evalkit."""
