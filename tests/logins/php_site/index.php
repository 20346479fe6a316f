<?php
// A PHP site with a login, on PHP's own sessions: php -S 127.0.0.1:PORT index.php, settings by the environment.

ini_set('session.save_path', getenv('SESSIONS'));
ini_set('session.serialize_handler', getenv('SERIALIZER') ?: 'php');
ini_set('session.gc_maxlifetime', getenv('LIFETIME_S') ?: '1440');
ini_set('session.gc_probability', '1');
ini_set('session.gc_divisor', '1');
ini_set('session.use_strict_mode', '1');

class Cart
{
    public $lines = ['hammer' => 2];
    private $total = 12.5;
    public ?Cart $saved = null;
}

function database(): PDO
{
    $database = new PDO('sqlite:' . getenv('FOLDER') . '/php.db');
    $database->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
    $database->exec('PRAGMA busy_timeout = 20000');
    $database->exec('CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT UNIQUE,'
        . " password TEXT, active INTEGER DEFAULT 1, roles TEXT DEFAULT '')");
    foreach (explode(' ', getenv('USERS')) as $name) {
        $database->prepare('INSERT OR IGNORE INTO users (name, password) VALUES (?, ?)')
            ->execute([$name, "secret of $name"]);
    }
    return $database;
}

function row(string $column, $value)
{
    $found = database()->prepare("SELECT * FROM users WHERE $column = ?");
    $found->execute([$value]);
    return $found->fetch(PDO::FETCH_ASSOC);
}

// The signed-in user, as this site looks at each request: an account that was disabled, or whose password changed
// since, may not go on.
function user()
{
    $user = isset($_SESSION['user_id']) ? row('id', $_SESSION['user_id']) : null;
    return $user && $user['active'] ? $user : null;
}

function say(int $status, $what)
{
    http_response_code($status);
    header('Content-Type: application/json');
    echo json_encode($what);
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
session_start();
switch ($path) {
    case '/login':
        $user = row('name', $_POST['user']);
        if (!$user || $user['password'] !== $_POST['password'] || !$user['active']) {
            say(403, 'no');
            break;
        }
        session_regenerate_id(true);
        $_SESSION['name'] = 'Zoë|x;"';
        $_SESSION['ratio'] = 0.1;
        $_SESSION['none'] = null;
        $_SESSION['flags'] = [true, false, 'deep' => ['er' => -7]];
        $_SESSION['user_id'] = (int) $user['id'];
        $_SESSION['auth'] = ['user' => ['id' => (string) $user['id']], 'roles' => ['reader']];
        $_SESSION['cart'] = new Cart();
        say(200, 'in');
        break;
    case '/logout':
        $_SESSION = [];
        session_destroy();
        say(200, 'out');
        break;
    case '/me':
        $user = user();
        if (!$user) {
            say(401, ['id' => null]);
            break;
        }
        $roles = array_values(array_filter(explode(',', $user['roles'])));
        say(200, ['id' => (string) $user['id'], 'name' => $user['name'], 'roles' => $roles]);
        break;
    case '/change':
        $user = row('name', $_POST['user']);
        $roles = array_filter(explode(',', $user['roles']));
        if (isset($_POST['grant'])) {
            $roles[] = $_POST['grant'];
        }
        $roles = array_diff($roles, [$_POST['revoke'] ?? '']);
        database()->prepare('UPDATE users SET password = ?, active = ?, roles = ? WHERE id = ?')->execute([
            $_POST['password'] ?? $user['password'],
            (int) ($_POST['active'] ?? 1),
            implode(',', $roles),
            $user['id'],
        ]);
        say(200, 'changed');
        break;
    case '/visit':
        $_SESSION['seen'] = str_repeat('Zoë', 300);
        say(200, 'seen');
        break;
    case '/hold':
        usleep(1000 * (int) $_GET['ms']); // the lock of the session is held meanwhile
        say(200, 'held');
        break;
    default:
        say(404, 'nothing');
}
