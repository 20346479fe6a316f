"""Legacy over the wire: header rules, our transport, failures, tunnels."""
