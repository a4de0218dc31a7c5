"""What goes wrong in an audit."""


class AuditError(ValueError):
    """Data or printed numbers that cannot be checked."""
