"""What watches gateways: rules, dashboards, and the pictures of them."""
