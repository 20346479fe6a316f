<?php
// A tool library: a small legacy app in plain PHP, to be moved to Flask by docs/tutorial.
// Run it with: PHP_CLI_SERVER_WORKERS=4 php -S 127.0.0.1:9000 legacy/index.php
declare(strict_types=1);

require __DIR__ . '/data.php';
require __DIR__ . '/pages.php';

ini_set('session.cookie_httponly', '1');
ini_set('session.cookie_samesite', 'Lax');
header_remove('X-Powered-By');

const ROUTES = [
    ['GET', '#^/$#', 'show_tools'],
    ['GET', '#^/tools/(\d+)$#', 'show_tool'],
    ['POST', '#^/tools/(\d+)/photo$#', 'take_photo'],
    ['GET', '#^/photos/(\d+)$#', 'send_photo'],
    ['GET', '#^/suggestions$#', 'show_suggestions'],
    ['POST', '#^/suggestions$#', 'add_suggestion'],
    ['GET', '#^/login$#', 'show_login'],
    ['POST', '#^/login$#', 'sign_in'],
    ['POST', '#^/logout$#', 'sign_out'],
    ['GET', '#^/account$#', 'show_account'],
    ['GET', '#^/api/tools$#', 'list_tools'],
    ['GET', '#^/api/tools/(\d+)$#', 'get_tool'],
    ['GET', '#^/tools\.csv$#', 'export_tools'],
];

/** Call the page of the first route that takes the request. */
function serve(string $method, string $path): void
{
    $method = $method === 'HEAD' ? 'GET' : $method;
    foreach (ROUTES as [$taken, $pattern, $page]) {
        if ($taken === $method && preg_match($pattern, $path, $found)) {
            $page(...array_map('intval', array_slice($found, 1)));
            return;
        }
    }
    send_page('Not found', '<p>There is no such page.</p>', 404);
}

serve($_SERVER['REQUEST_METHOD'], parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) ?: '/');
