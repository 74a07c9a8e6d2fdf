"""What is known of providers between calls: breakers, pace, keys. Rules alone; the stages apply them."""
