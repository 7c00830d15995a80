"""http: a server with the interface of OpenAI's text-to-speech."""
