"""What the modules here build is judged ahead of their tests."""

from tests.verify.handmade.ahead import judged_ahead as judged_ahead
