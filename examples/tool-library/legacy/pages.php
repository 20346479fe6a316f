<?php
// The pages of the tool library. Only pages that need a session start one.
declare(strict_types=1);

function text(mixed $value): string
{
    return htmlspecialchars((string) $value, ENT_QUOTES);
}

function send_page(string $title, string $content, int $status = 200): void
{
    http_response_code($status);
    $title = text($title);
    echo "<!doctype html>\n<title>$title - Tool library</title>\n",
        "<nav><a href=\"/\">Tools</a> <a href=\"/suggestions\">Suggestions</a> ",
        "<a href=\"/account\">My account</a></nav>\n<h1>$title</h1>\n$content\n";
}

function send_json(mixed $value, int $status = 200): void
{
    http_response_code($status);
    header('Content-Type: application/json');
    header('Cache-Control: max-age=60');
    echo json_encode($value), "\n";
}

function redirect(string $path): void
{
    header("Location: $path", true, 303);
}

function euros(int $cents): string
{
    return number_format($cents / 100, 2);
}

// Tools: for everybody, without a session.

function show_tools(): void
{
    $items = '';
    foreach (rows('SELECT * FROM tools ORDER BY name') as $tool) {
        $items .= "<li><a href=\"/tools/{$tool['id']}\">" . text($tool['name']) . "</a></li>\n";
    }
    send_page('Tools', "<ul>\n$items</ul>");
}

function show_tool(int $id): void
{
    $tool = tool_of($id);
    if ($tool === null) {
        send_page('Not found', '<p>There is no such tool.</p>', 404);
        return;
    }
    $state = $tool['available'] ? 'On the shelf' : 'Lent out';
    send_page($tool['name'], "<p>$state. Deposit: " . euros($tool['deposit_cents']) . " EUR</p>");
}

function list_tools(): void
{
    send_json(['tools' => array_map('as_tool', rows('SELECT * FROM tools ORDER BY name'))]);
}

function get_tool(int $id): void
{
    $tool = tool_of($id);
    $tool === null ? send_json(['error' => 'not found'], 404) : send_json($tool);
}

function export_tools(): void
{
    header('Content-Type: text/csv; charset=utf-8');
    foreach (rows('SELECT id, name FROM tools ORDER BY id') as $tool) {
        echo "{$tool['id']};{$tool['name']}\r\n";
    }
}

// Suggestions: a form for everybody, with a CSRF token in the session.

function resume_session(): void
{
    if (session_status() !== PHP_SESSION_ACTIVE) {
        session_start();
    }
}

/** The hidden field of a form. */
function token_field(): string
{
    resume_session();
    $_SESSION['token'] ??= bin2hex(random_bytes(16));
    return "<input type=\"hidden\" name=\"token\" value=\"{$_SESSION['token']}\">";
}

/** Whether the form was shown in this session; otherwise the answer is sent. */
function has_token(): bool
{
    resume_session();
    if (hash_equals($_SESSION['token'] ??= bin2hex(random_bytes(16)), (string) ($_POST['token'] ?? ''))) {
        return true;
    }
    send_page('Form expired', '<p>Please open the form again.</p>', 400);
    return false;
}

function show_suggestions(): void
{
    $items = '';
    foreach (rows('SELECT name, reason FROM suggestions ORDER BY id') as $row) {
        $items .= '<li>' . text($row['name']) . ': ' . text($row['reason']) . "</li>\n";
    }
    send_page('Suggestions', "<ul>\n$items</ul>\n<form method=\"post\">" . token_field()
        . '<input name="name" required><input name="reason"><button>Suggest</button></form>');
}

function add_suggestion(): void
{
    if (!has_token()) {
        return;
    }
    $name = trim((string) ($_POST['name'] ?? ''));
    if ($name === '') {
        send_page('Suggestions', '<p>Please name a tool.</p>', 422);
        return;
    }
    rows('INSERT INTO suggestions (name, reason) VALUES (?, ?)', [$name, $_POST['reason'] ?? '']);
    redirect('/suggestions');
}

// Members: a login, an account page and uploads.

function show_login(): void
{
    send_page('Sign in', '<form method="post">' . token_field()
        . '<input name="name"><input name="password" type="password"><button>Sign in</button></form>');
}

function sign_in(): void
{
    if (!has_token()) {
        return;
    }
    $found = rows('SELECT * FROM members WHERE name = ?', [(string) ($_POST['name'] ?? '')]);
    if (!$found || !password_verify((string) ($_POST['password'] ?? ''), $found[0]['password'])) {
        send_page('Sign in', '<p>Name or password is wrong.</p>', 403);
        return;
    }
    session_regenerate_id(true);
    $_SESSION['member'] = $found[0]['name'];
    redirect('/account');
}

function sign_out(): void
{
    if (has_token()) {
        session_destroy();
        redirect('/');
    }
}

/** The member's name; null, after a redirect to the login, for a stranger. */
function member(): ?string
{
    resume_session();
    if (!isset($_SESSION['member'])) {
        redirect('/login');
    }
    return $_SESSION['member'] ?? null;
}

function show_account(): void
{
    $member = member();
    if ($member !== null) {
        send_page("Account of $member", '<form method="post" action="/logout">' . token_field()
            . '<button>Sign out</button></form><form method="post" enctype="multipart/form-data"'
            . ' action="/tools/1/photo">' . token_field()
            . '<input name="photo" type="file"><button>Send photo</button></form>');
    }
}

function is_photo(array $file): bool
{
    return in_array($file['type'], ['image/png', 'image/jpeg'], true);
}

function take_photo(int $id): void
{
    if (!has_token() || member() === null) {
        return;
    }
    $photo = $_FILES['photo'] ?? null;
    if (tool_of($id) === null || ($photo['error'] ?? null) !== UPLOAD_ERR_OK || !is_photo($photo)) {
        send_page('Photo', '<p>No such tool, or no photo.</p>', 422);
        return;
    }
    $content = file_get_contents($photo['tmp_name']);
    rows('INSERT OR REPLACE INTO photos VALUES (?, ?, ?)', [$id, $photo['type'], $content]);
    redirect("/photos/$id");
}

function send_photo(int $id): void
{
    $found = rows('SELECT type, content FROM photos WHERE tool = ?', [$id]);
    if (!$found) {
        send_page('Not found', '<p>There is no photo.</p>', 404);
        return;
    }
    header("Content-Type: {$found[0]['type']}");
    header('X-Content-Type-Options: nosniff');
    echo $found[0]['content'];
}
