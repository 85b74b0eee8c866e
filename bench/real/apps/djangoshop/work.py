"""A year in the shop: three users create, change and delete objects through the ORM, the clock moved for each day."""

import os
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import django
import time_machine

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from auditlog.context import set_actor  # noqa: E402  # Django's models can only be imported once it is set up
from auditlog.models import LogEntry  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from shop.models import Customer, Order  # noqa: E402


def day(number: int, users: list[User]) -> None:
    """What happens on one day."""
    with set_actor(users[number % len(users)]):
        customer = Customer.objects.create(name=f"Zoë {number}", email=f"zoe{number}@example.com")
        order = Order.objects.create(customer=customer, total=Decimal(number * 7) / 4)
        order.state = "paid"
        order.save()
        if number % 5 == 0:
            order.delete()


def main(days: int) -> None:
    """Make the database and let *days* days pass, up to now."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    users = [User.objects.create_user(name, f"{name}@example.com") for name in ("ada", "grace", "linus")]
    now = datetime.now(UTC)
    for number in range(days):
        with time_machine.travel(now - timedelta(days=days - number), tick=True):
            day(number, users)
    print(LogEntry.objects.count())


main(int(sys.argv[1]))
