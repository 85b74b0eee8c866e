"""MariaDB and MySQL: tables of InnoDB, removed by ``DELETE … RETURNING`` or by a locking read and a delete."""

from lapse.stores.mysql.store import MysqlStore

__all__ = ["STORE", "MysqlStore"]

STORE = MysqlStore
