"""What the shop sells and to whom; auditlog watches both."""

from auditlog.registry import auditlog
from django.db import models


class Customer(models.Model):
    """Someone who buys."""

    name = models.CharField(max_length=100)
    email = models.EmailField()


class Order(models.Model):
    """What a customer bought."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE)
    total = models.DecimalField(max_digits=9, decimal_places=2)
    state = models.CharField(max_length=20, default="new")
    placed = models.DateTimeField(auto_now_add=True)


auditlog.register(Customer)
auditlog.register(Order)
