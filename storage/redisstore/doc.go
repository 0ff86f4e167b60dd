// Package redisstore decides limits in Redis or Valkey.
package redisstore
