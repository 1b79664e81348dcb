package database

import (
	"context"

	"github.com/uptrace/bun"
)

type instanceRow struct {
	bun.BaseModel `bun:"table:instance"`
	Key           string `bun:"key,pk"`
	Value         string `bun:"value"`
}

// Setting reads a value that belongs to the installation as a whole, such as
// the queue's epoch; "" where it was never set.
func Setting(ctx context.Context, idb bun.IDB, key string) (string, error) {
	var r instanceRow
	err := idb.NewSelect().Model(&r).Where("key = ?", key).Scan(ctx)
	if IsNoRows(err) {
		return "", nil
	}
	return r.Value, err
}

// SetSetting writes a value of the installation.
func SetSetting(ctx context.Context, idb bun.IDB, key, value string) error {
	_, err := idb.NewInsert().Model(&instanceRow{Key: key, Value: value}).
		On("CONFLICT (key) DO UPDATE").Set("value = EXCLUDED.value").Exec(ctx)
	return err
}
