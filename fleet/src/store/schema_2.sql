-- When a gateway may update, as its fleet says: protocol::policy::UpdatePolicy as JSON.
ALTER TABLE devices ADD COLUMN policy TEXT;
