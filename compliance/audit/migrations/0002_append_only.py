import secrets

from django.db import migrations

# Whoever owns the database can remove these guards; the signed checkpoints in other hands are what they cannot undo.
# TRUNCATE is let through in a database whose name starts with test_, where test runners empty tables between tests.
GUARDS = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' AND current_database() LIKE 'test\\_%' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: % on % refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION audit_only_sequence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before audit_auditevent := OLD;
BEGIN
    before.index := NEW.index;
    IF OLD.index IS NULL AND NEW.index IS NOT NULL AND before IS NOT DISTINCT FROM NEW THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: only the place of a new event can be set, and only once'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER audit_only_sequence BEFORE UPDATE ON audit_auditevent
    FOR EACH ROW EXECUTE FUNCTION audit_only_sequence();
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_auditevent
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

ALTER TABLE audit_auditevent ADD CONSTRAINT audit_hash_of_leaf
    CHECK (leaf_hash = sha256('\\x00'::bytea || leaf));
"""
GUARDS += "".join(
    f"""
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""
    for table in ("audit_tile", "audit_checkpoint", "audit_signingkey")
)

NO_GUARDS = """
ALTER TABLE audit_auditevent DROP CONSTRAINT audit_hash_of_leaf;
DROP FUNCTION audit_only_sequence() CASCADE;
DROP FUNCTION audit_refuse() CASCADE;
"""


def name_installation(apps, schema_editor):
    """A constant in the schema: it goes where the database goes, and no row can be edited to change it."""
    schema_editor.execute(
        "CREATE FUNCTION chapek_installation() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE "
        f"AS $$ SELECT '{secrets.token_hex(8)}' $$"
    )


def forget_installation(apps, schema_editor):
    schema_editor.execute("DROP FUNCTION chapek_installation()")


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [
        migrations.RunSQL(GUARDS, NO_GUARDS),
        migrations.RunPython(name_installation, forget_installation),
    ]
