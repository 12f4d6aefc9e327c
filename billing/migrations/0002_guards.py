from django.db import migrations

# What the application promises and the database keeps, whoever writes to it.
FUNCTIONS = """
CREATE FUNCTION chapek_rated(seconds bigint, gpu_count integer, rate numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    -- seconds x GPUs x rate / 3600, half up to the cent. div() is exact, so no quotient is rounded twice.
    SELECT (div(seconds * gpu_count * rate * 100 * 2 + 3600, 7200) / 100)::numeric(18, 2)
$$;

CREATE FUNCTION billing_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' AND current_database() LIKE 'test\\_%' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION billing_frozen_but() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Only the columns named by the trigger may change.
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% is frozen: DELETE refused', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (to_jsonb(NEW) - TG_ARGV) IS DISTINCT FROM (to_jsonb(OLD) - TG_ARGV) THEN
        RAISE EXCEPTION '% is frozen: UPDATE refused', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION billing_price_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.valid_until_at IS NOT DISTINCT FROM OLD.valid_until_at THEN
        RETURN NEW;
    END IF;
    IF OLD.valid_until_at <= chapek_now() OR NEW.valid_until_at IS NULL OR NEW.valid_until_at < chapek_now() THEN
        RAISE EXCEPTION 'a started price ends once, and not in the past' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION billing_usage_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.until_at IS NOT NULL AND (NEW.until_at, NEW.net_amount) IS DISTINCT FROM (OLD.until_at, OLD.net_amount) THEN
        RAISE EXCEPTION 'a usage interval ends once' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION billing_usage_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM billing_usageinterval
    WHERE id = NEW.id AND (state = 'closed') <> (until_at IS NOT NULL);
    IF FOUND THEN
        RAISE EXCEPTION 'usage %: state and end do not agree', NEW.ref USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION billing_invoice_numbered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM billing_invoice WHERE id = NEW.id AND (state = 'draft') <> (number IS NULL);
    IF FOUND THEN
        RAISE EXCEPTION 'invoice %: a number is given at issue and only then', NEW.ref
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION billing_line_of_draft() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    touched bigint := CASE WHEN TG_OP = 'INSERT' THEN NEW.invoice_id ELSE OLD.invoice_id END;
BEGIN
    PERFORM 1 FROM billing_invoice WHERE id = touched AND number IS NULL AND state = 'draft';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lines of an issued invoice are frozen' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE FUNCTION billing_ledger_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Entries are written with their transaction: a committed one takes no more, balanced or not.
    PERFORM 1 FROM billing_ledgertransaction WHERE id = NEW.transaction_id AND written_in = pg_current_xact_id()::text;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ledger transaction % is sealed', NEW.transaction_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION billing_ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject bigint := CASE WHEN TG_TABLE_NAME = 'billing_ledgerentry' THEN (to_jsonb(NEW)->>'transaction_id')::bigint
                           ELSE (to_jsonb(NEW)->>'id')::bigint END;
BEGIN
    PERFORM 1 FROM billing_ledgerentry e JOIN billing_ledgeraccount a ON a.id = e.account_id
    WHERE e.transaction_id = subject GROUP BY a.currency HAVING sum(e.amount) <> 0;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger transaction % does not balance', subject USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    PERFORM 1 FROM billing_ledgerentry WHERE transaction_id = subject;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'ledger transaction % is empty', subject USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
"""

TRIGGERS = """
ALTER TABLE billing_ledgertransaction ADD COLUMN written_in text NOT NULL DEFAULT pg_current_xact_id()::text;

ALTER TABLE billing_taxrate ADD CONSTRAINT one_tax_rate_a_day EXCLUDE USING gist (
    -- Two letters as one number: a range needs an order, and no extension is installed.
    int4range(ascii(country) * 256 + ascii(substr(country, 2)), ascii(country) * 256 + ascii(substr(country, 2)), '[]')
        WITH &&,
    daterange(valid_from_on, valid_until_on, '[)') WITH &&);

ALTER TABLE billing_usageinterval
    ADD CONSTRAINT usage_is_whole_seconds CHECK (
        date_trunc('second', from_at, 'UTC') = from_at AND date_trunc('second', until_at, 'UTC') = until_at),
    ADD CONSTRAINT usage_costs_seconds_times_price CHECK (
        net_amount = chapek_rated(extract(epoch FROM until_at - from_at)::bigint, gpu_count, rate));

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ledgertransaction
    FOR EACH ROW EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_pricesnapshot
    FOR EACH ROW EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_ledgertransaction EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_ledgerentry EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_pricesnapshot EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_usageinterval EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing_invoice EXECUTE FUNCTION billing_append_only();

CREATE TRIGGER sealed BEFORE INSERT ON billing_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION billing_ledger_sealed();
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON billing_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_ledger_balanced();
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON billing_ledgertransaction
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_ledger_balanced();

CREATE TRIGGER started_is_frozen BEFORE UPDATE OR DELETE ON billing_price FOR EACH ROW
    WHEN (OLD.valid_from_at <= chapek_now()) EXECUTE FUNCTION billing_frozen_but('valid_until_at');
CREATE TRIGGER started_ends_once BEFORE UPDATE ON billing_price FOR EACH ROW
    WHEN (OLD.valid_from_at <= chapek_now()) EXECUTE FUNCTION billing_price_end();

CREATE TRIGGER open_only_ends BEFORE UPDATE ON billing_usageinterval FOR EACH ROW WHEN (OLD.state = 'open')
    EXECUTE FUNCTION billing_frozen_but('state', 'state_changed_at', 'until_at', 'net_amount', 'settled_by_id');
CREATE TRIGGER ends_once BEFORE UPDATE ON billing_usageinterval FOR EACH ROW EXECUTE FUNCTION billing_usage_end();
CREATE TRIGGER closed_is_frozen BEFORE UPDATE ON billing_usageinterval FOR EACH ROW WHEN (OLD.state <> 'open')
    EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER never_deleted BEFORE DELETE ON billing_usageinterval FOR EACH ROW EXECUTE FUNCTION billing_append_only();
CREATE CONSTRAINT TRIGGER state_and_end_agree AFTER INSERT OR UPDATE ON billing_usageinterval
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_usage_settled();

CREATE TRIGGER issued_is_frozen BEFORE UPDATE ON billing_invoice FOR EACH ROW
    WHEN (OLD.number IS NOT NULL) EXECUTE FUNCTION billing_frozen_but('state', 'state_changed_at');
CREATE TRIGGER never_deleted BEFORE DELETE ON billing_invoice FOR EACH ROW
    WHEN (OLD.number IS NOT NULL) EXECUTE FUNCTION billing_append_only();
CREATE CONSTRAINT TRIGGER numbered_at_issue AFTER INSERT OR UPDATE ON billing_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_invoice_numbered();
CREATE TRIGGER lines_of_drafts_only BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION billing_line_of_draft();
"""

DROP_TRIGGERS = """
DROP TRIGGER lines_of_drafts_only ON billing_invoiceline;
DROP TRIGGER numbered_at_issue ON billing_invoice;
DROP TRIGGER never_deleted ON billing_invoice;
DROP TRIGGER issued_is_frozen ON billing_invoice;
DROP TRIGGER state_and_end_agree ON billing_usageinterval;
DROP TRIGGER never_deleted ON billing_usageinterval;
DROP TRIGGER closed_is_frozen ON billing_usageinterval;
DROP TRIGGER ends_once ON billing_usageinterval;
DROP TRIGGER open_only_ends ON billing_usageinterval;
DROP TRIGGER started_ends_once ON billing_price;
DROP TRIGGER started_is_frozen ON billing_price;
DROP TRIGGER balanced ON billing_ledgertransaction;
DROP TRIGGER balanced ON billing_ledgerentry;
DROP TRIGGER sealed ON billing_ledgerentry;
DROP TRIGGER never_emptied ON billing_invoice;
DROP TRIGGER never_emptied ON billing_usageinterval;
DROP TRIGGER never_emptied ON billing_pricesnapshot;
DROP TRIGGER never_emptied ON billing_ledgerentry;
DROP TRIGGER never_emptied ON billing_ledgertransaction;
DROP TRIGGER append_only ON billing_pricesnapshot;
DROP TRIGGER append_only ON billing_ledgeraccount;
DROP TRIGGER append_only ON billing_ledgerentry;
DROP TRIGGER append_only ON billing_ledgertransaction;
ALTER TABLE billing_usageinterval DROP CONSTRAINT usage_costs_seconds_times_price,
    DROP CONSTRAINT usage_is_whole_seconds;
ALTER TABLE billing_taxrate DROP CONSTRAINT one_tax_rate_a_day;
ALTER TABLE billing_ledgertransaction DROP COLUMN written_in;
"""

DROP_FUNCTIONS = """
DROP FUNCTION billing_ledger_balanced();
DROP FUNCTION billing_ledger_sealed();
DROP FUNCTION billing_line_of_draft();
DROP FUNCTION billing_invoice_numbered();
DROP FUNCTION billing_usage_settled();
DROP FUNCTION billing_usage_end();
DROP FUNCTION billing_price_end();
DROP FUNCTION billing_frozen_but();
DROP FUNCTION billing_append_only();
DROP FUNCTION chapek_rated(bigint, integer, numeric);
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("common", "0001_clock")]
    operations = [
        migrations.RunSQL(FUNCTIONS, DROP_FUNCTIONS),
        migrations.RunSQL(TRIGGERS, DROP_TRIGGERS),
    ]
