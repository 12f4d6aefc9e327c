from django.db import migrations

# The offset counts only in a database whose name starts with test_: nobody can move a real installation's clock.
CLOCK = """
CREATE TABLE chapek_clock_offset (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seconds bigint NOT NULL DEFAULT 0 CHECK (seconds = 0 OR current_database() LIKE 'test\\_%')
);
INSERT INTO chapek_clock_offset DEFAULT VALUES;
CREATE FUNCTION chapek_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT date_trunc('second', clock_timestamp())
         + make_interval(secs => (SELECT seconds FROM chapek_clock_offset)::double precision)
$$;
"""
DROP = "DROP FUNCTION chapek_now(); DROP TABLE chapek_clock_offset;"


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [migrations.RunSQL(CLOCK, DROP)]
