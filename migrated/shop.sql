-- The shop's data: run once on a new file, in one transaction. The moved features read the same tables.
CREATE TABLE IF NOT EXISTS products (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  category TEXT NOT NULL,
  price_cents INTEGER NOT NULL,
  in_stock INTEGER NOT NULL,
  description TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS users (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  full_name TEXT NOT NULL,
  salt TEXT NOT NULL,
  password_hash TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  reference TEXT NOT NULL,
  customer TEXT NOT NULL,
  placed_at TEXT NOT NULL,
  total_cents INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS order_lines (
  order_id INTEGER NOT NULL REFERENCES orders (id),
  position INTEGER NOT NULL,
  product_id INTEGER NOT NULL REFERENCES products (id),
  quantity INTEGER NOT NULL,
  price_cents INTEGER NOT NULL,
  PRIMARY KEY (order_id, position)
) WITHOUT ROWID;
INSERT OR IGNORE INTO products (id, name, category, price_cents, in_stock, description) VALUES
  (1, 'Runner beans', 'seeds', 320, 1, 'A climber with red flowers. Sow in May, two seeds to a pole.'),
  (2, 'Sweet pea "Spencer" mix', 'seeds', 280, 1, 'Scented, for cutting. Soak the seeds overnight before sowing.'),
  (3, 'Crème brûlée tomato', 'seeds', 410, 1, 'Small yellow fruit with thin skin. Needs a warm wall — or a greenhouse.'),
  (4, 'Field poppy', 'seeds', 190, 0, 'Scatter on bare soil in autumn. Sown out until next harvest.'),
  (5, 'Hand trowel', 'tools', 1450, 1, 'Forged steel & ash handle, 32 cm.'),
  (6, 'Bypass secateurs', 'tools', 3890, 1, 'For living wood up to 20 mm. Spare blades are in stock.'),
  (7, 'Gardener''s gloves <large>', 'tools', 1275, 1, 'Goatskin palms, washable at 30 °C.'),
  (8, 'Hedge shears', 'tools', 4600, 0, 'Wavy blades that hold the twigs. Back in April.'),
  (9, 'Jute twine', 'supplies', 450, 1, '150 m on a spool; rots down with the plants it held.'),
  (10, 'Seed tray', 'supplies', 695, 1, 'Forty cells, recycled plastic, with a drip tray.'),
  (11, 'Leaf mould', 'supplies', 890, 1, '20 litres, two years old, sieved.'),
  (12, 'Strangler fig (potted)', 'plants', 5200, 1, 'Grows around its host until it stands by itself. Not for small gardens.');
INSERT OR IGNORE INTO users (id, name, full_name, salt, password_hash) VALUES
  (1, 'ada', 'Ada Byron', '5eed0001', '099873a2c7a40876d60edf9d99a1218efe28872eb776c652fc23b9dc22c3fbb7'),
  (2, 'linus', 'Linus Moss', '5eed0002', 'a6ec6297eec9e08616d01c08e31cc893f7d9a58d3d8440a63d8f816301134373');
INSERT OR IGNORE INTO orders (id, reference, customer, placed_at, total_cents) VALUES
  (1, 'a41c09d2', 'Ada Byron', '2025-03-01T08:15:00Z', 1090),
  (2, '7be2f310', 'Linus Moss', '2025-03-02T17:40:21Z', 3890),
  (3, 'c0ffee12', 'O''Hara & Söhne', '2025-03-05T11:02:59Z', 6090);
INSERT OR IGNORE INTO order_lines (order_id, position, product_id, quantity, price_cents) VALUES
  (1, 0, 1, 2, 320), (1, 1, 9, 1, 450),
  (2, 0, 6, 1, 3890),
  (3, 0, 12, 1, 5200), (3, 1, 11, 1, 890);
PRAGMA user_version = 1;
