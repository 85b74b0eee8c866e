"""What stores that speak SQL share: quoting, fragments with bound values, compiled rules, the marker table."""
