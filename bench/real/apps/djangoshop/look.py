"""What the shop itself reads from its audit trail, as one JSON object."""

import json
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from auditlog.models import LogEntry  # noqa: E402  # Django's models can only be imported once it is set up
from shop.models import Customer  # noqa: E402

entries = list(LogEntry.objects.select_related("actor", "content_type").order_by("timestamp"))
newest = Customer.objects.latest("id")
print(
    json.dumps(
        {
            "entries": len(entries),
            "oldest": entries[0].timestamp.isoformat(),
            "newest": entries[-1].timestamp.isoformat(),
            "actors": sorted({entry.actor.username for entry in entries}),
            "actions": sorted({entry.get_action_display() for entry in entries}),
            "changes": entries[-1].changes_dict,
            "history": [entry.get_action_display() for entry in LogEntry.objects.get_for_object(newest)],
        }
    )
)
