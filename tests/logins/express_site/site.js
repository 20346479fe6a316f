// An Express site with express-session and passport: node site.js PORT, settings by the environment.
'use strict';

const cookieParser = require('cookie-parser');
const csrf = require('csurf');
const express = require('express');
const session = require('express-session');
const passport = require('passport');
const { Strategy } = require('passport-local');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');
const { Pool } = require('pg');
const PgStore = require('connect-pg-simple')(session);

const port = Number(process.argv[2]);
const lifetime = process.env.LIFETIME_S ? Number(process.env.LIFETIME_S) * 1000 : undefined;
const pool = new Pool({ host: process.env.PG_FOLDER, user: 'overgrow', database: process.env.PG_DATABASE });

async function userBy(column, value) {
  const { rows } = await pool.query(`SELECT * FROM users WHERE ${column} = $1`, [value]);
  return rows[0];
}

passport.use(new Strategy({ usernameField: 'user' }, (name, password, done) => {
  userBy('name', name)
    .then((user) => done(null, user && user.active && user.password === password ? user : false))
    .catch(done);
}));
passport.serializeUser((user, done) => done(null, user.id));
passport.deserializeUser((id, done) => {
  userBy('id', id).then((user) => done(null, user && user.active ? user : false)).catch(done);
});

async function storeOfSessions() {
  if (process.env.REDIS) {
    const client = createClient({ socket: { path: process.env.REDIS } });
    await client.connect();
    return new RedisStore({ client });
  }
  return new PgStore({ pool, createTableIfMissing: true, pruneSessionInterval: false });
}

async function main() {
  await pool.query(`CREATE TABLE IF NOT EXISTS users (id SERIAL PRIMARY KEY, name TEXT UNIQUE,
    password TEXT, active BOOLEAN DEFAULT true, roles TEXT[] DEFAULT '{}')`);
  for (const name of process.env.USERS.split(' ')) {
    await pool.query('INSERT INTO users (name, password) VALUES ($1, $2) ON CONFLICT DO NOTHING',
      [name, `secret of ${name}`]);
  }
  const app = express();
  app.use(express.urlencoded({ extended: false }));
  app.use(session({
    store: await storeOfSessions(),
    secret: [process.env.SECRET, ...(process.env.FORMER_SECRETS || '').split(' ').filter(Boolean)],
    resave: false,
    saveUninitialized: false,
    rolling: process.env.SLIDING === '1',
    cookie: { maxAge: lifetime },
  }));
  app.use(passport.session());
  app.post('/login', passport.authenticate('local'), (request, answer) => answer.send('in'));
  app.post('/logout', (request, answer, next) => {
    request.logout((error) => (error ? next(error) : answer.send('out')));
  });
  app.get('/me', (request, answer) => {
    if (!request.isAuthenticated()) return answer.status(401).json({ id: null });
    const { id, name, roles } = request.user;
    return answer.json({ id: String(id), name, roles });
  });
  app.post('/change', async (request, answer) => {
    const { user, password, active, grant, revoke } = request.body;
    const found = await userBy('name', user);
    const roles = [...found.roles, ...(grant ? [grant] : [])].filter((role) => role !== revoke);
    await pool.query('UPDATE users SET password = $1, active = $2, roles = $3 WHERE id = $4',
      [password || found.password, (active || '1') === '1', roles, found.id]);
    answer.send('changed');
  });
  app.get('/visit', (request, answer) => {
    request.session.seen = 'Zoë'.repeat(300);
    answer.send('seen');
  });
  const guard = [cookieParser(), csrf({ cookie: true })];
  app.get('/token', guard, (request, answer) => answer.send(request.csrfToken()));
  app.post('/guarded', guard, (request, answer) => answer.send('accepted'));
  app.listen(port, '127.0.0.1');
}

main();
