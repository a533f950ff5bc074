"""Who is calling: tenants, plans, API keys and the authenticator that answers from memory."""
