"""What makes runs happen without anybody: units for systemd, a crontab, manifests. Texts are made from the policy."""
