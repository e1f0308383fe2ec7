"""Pictures, text and pages: this package reads graphs and never builds them."""
