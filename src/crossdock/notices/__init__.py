"""What other systems are told of an integration's health, and how.

- `payload` makes the JSON that templates see from changes of health, and describes it as a JSON Schema;
- `template` compiles, checks and renders a body template (`template_text` reads it, `references` checks what it refers
  to); `ready_made` has some for well-known services;
- `webhook` is a notification webhook as it is used, read from its document and its secrets;
- `validators` judge what the target answers;
- `sending` composes a message and sends it: for deliveries and for tests alike.

Rules: a template is judged when it is saved, against every kind of payload there is, so that it does not fail when it
matters. Secrets are in what goes out and nowhere else.
"""
