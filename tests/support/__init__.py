"""What tests share: small models, and real gateways in processes of their own."""
