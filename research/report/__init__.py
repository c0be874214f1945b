"""The report stage: tables with intervals, figures and stored records, from runs."""
