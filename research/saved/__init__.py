"""Trained models without their data: saving, loading, encoding users, going on."""
